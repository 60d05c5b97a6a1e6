"""Alerts as messages to people: mail, chat, phone. A process of its own, ``auscult notify``."""

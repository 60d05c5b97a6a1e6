"""A new bundle beside the one in use: trained with reviewed alerts, compared, and then accepted."""

"""A new bundle beside the one in use: trained with labelled alerts, compared, and then accepted."""

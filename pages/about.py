"""What this casebook is."""

from explorer.widgets.about import about_page
from explorer.widgets.shell import active_casebook

about_page(active_casebook())

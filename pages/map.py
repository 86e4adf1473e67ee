"""The casebook as a map."""

from explorer.widgets.case_map import map_page
from explorer.widgets.shell import active_casebook

map_page(active_casebook())

"""The casebook as a map."""

from explorer.app.map.page import map_page
from explorer.app.shell import active_casebook

map_page(active_casebook())

"""The About page of this casebook."""

from explorer.app.about.page import about_page
from explorer.app.shell import active_casebook

about_page(active_casebook())

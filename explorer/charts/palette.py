"""Colours that are distinct with any colour vision, each for a light and for a dark ground."""

from __future__ import annotations

#: Okabe and Ito (2008), the light ones darkened and the dark ones lightened until they stand out.
CATEGORIES = (
    ("#0072B2", "#56B4E9"),
    ("#D98200", "#F0A63A"),
    ("#008A63", "#2FC79A"),
    ("#B8578F", "#E08FBE"),
    ("#C24A00", "#F0763A"),
    ("#8C7A00", "#F0E442"),
    ("#5B4FA8", "#A99BF2"),
    ("#3F3F3F", "#E8E8E8"),
)
#: What is not of interest.
REST = ("#A9B4BD", "#56616B")
#: What is not known.
ABSENT = ("#D3BE9F", "#71604A")
#: Low to high, after cividis (Nuñez et al. 2018): equal steps for all colour vision.
SEQUENCE = (
    ("#00326F", "#3E5C9A"),
    ("#3C4D6E", "#6B7BA8"),
    ("#666970", "#8F9398"),
    ("#8E8570", "#B5AA7E"),
    ("#B8A54F", "#D8C45F"),
    ("#D9B800", "#FBE44D"),
)

"""The words of the little world, and how they are put together."""

NAMES = "Ana Ben Cleo Dan Eva Finn Gia Hugo Ida Jan Kim Leo Mia Ned Ola Pia".split()
ITEMS = "milk rice salt egg corn oil sage plum leek bean kale fig".split()
DISHES = "Soup Stew Cake Tart Pie Curry Toast Salad".split()
# What `recipes` is about: the items and dishes above, in lower case, and four words more, so that large ones fit.
FOODS = ITEMS + [dish.lower() for dish in DISHES] + "pear lime jam dough".split()


def spaced(numbers: list[int]) -> str:
    """Numbers with single spaces between them."""
    return " ".join(map(str, numbers))

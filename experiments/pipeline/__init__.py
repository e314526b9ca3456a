"""The stages that several programs share: prepare a World, a sale and policies; compare them."""

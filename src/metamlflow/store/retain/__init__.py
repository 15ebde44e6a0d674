"""What a store keeps and gives up: pruning, restoring; whether it is sound; and the space that it takes."""

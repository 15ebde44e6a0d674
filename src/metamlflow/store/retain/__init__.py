"""What a store keeps, and whether it is sound: examining it, the space it takes, and what to give up."""

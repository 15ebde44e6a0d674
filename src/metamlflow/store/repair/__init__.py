"""Put back objects that a verification finds missing or modified."""

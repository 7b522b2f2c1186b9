"""Things at the edge: the MQTT broker, and rules over what it takes in."""

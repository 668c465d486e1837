"""The single-machine profile: broker, object server, instance scaler and the supervisor that starts them."""

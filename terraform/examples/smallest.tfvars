# Everything by default: scales to zero, nothing that costs while idle.
project = "my-maskline"

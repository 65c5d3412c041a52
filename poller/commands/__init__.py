"""What the commands do. Each is loaded when it is called: none waits for what it does not need."""

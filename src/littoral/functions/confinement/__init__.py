"""What a process gives up before it runs an app's code."""

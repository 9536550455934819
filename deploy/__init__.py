"""What a deployment is made of, and the services that it needs."""

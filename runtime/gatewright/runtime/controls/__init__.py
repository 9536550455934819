"""What operators hold in their hands: stopping a deployment, and waiving a rule for a while."""

"""Who acts: the policy protocol, scripted roles, belief filter, networks, team runner, export and runtime."""

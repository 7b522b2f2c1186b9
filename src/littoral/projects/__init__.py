"""Projects: what a team keeps in a folder, read, checked and packed into a revision that a tree can be given."""

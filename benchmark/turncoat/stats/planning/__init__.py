"""Planning: variance components, and the effects that a study of some size can find."""

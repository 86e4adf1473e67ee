"""What training saves: gradients that a processor can afford, and what frozen parts made of films and texts, kept."""

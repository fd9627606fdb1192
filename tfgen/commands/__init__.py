"""What `python -m tfgen` does, a module for each command.

What a person can get wrong is a ValueError that says what to do. Nothing is imported
here: `check` must run where TensorFlow does not.
"""

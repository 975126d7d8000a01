"""Detection in archives: chunks of recordings on one worker or many, and the tables over all of them."""

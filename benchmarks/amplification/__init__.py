"""Few labelled cases: what training pairs drawn by deformation are worth, in Dice and in labels."""

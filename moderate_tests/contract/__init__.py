"""What every implementation of one protocol must do, case by case."""

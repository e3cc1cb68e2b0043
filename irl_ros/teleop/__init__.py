"""A person's hands on an arm: joystick, keyboard, leader arm or 6-axis device → actions and orders."""

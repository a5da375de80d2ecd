"""Changes: what waits for approval, what each will do, what was decided, and the proof."""

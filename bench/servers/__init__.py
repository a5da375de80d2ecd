"""The servers that are measured side by side; `contract` says what each must offer."""

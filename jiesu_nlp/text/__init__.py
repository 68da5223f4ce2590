"""The text layer: from raw words to normal form, masks, demands, kinds and elements."""

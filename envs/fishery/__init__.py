"""The fishery: many catch from one stock, and its closed forms."""

"""The fishery: several players catch fish from one stock. Includes its closed forms."""

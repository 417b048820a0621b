"""False alarms and delays of the watch: healthy streams over a quarter, and a model that gets worse."""

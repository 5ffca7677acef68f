"""The state of a rollout: the policy that a person wrote, and the record that the machine keeps."""

"""What a rollout is: the policy that a person wrote, and the record that the machine keeps."""

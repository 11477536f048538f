"""The domain of tokenhub-gateway: providers, their keys, their health, and forwarding to them."""

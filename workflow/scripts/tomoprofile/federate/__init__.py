"""One model from many sites: what crosses the wire, what may leave a site, who takes part, and who contributed what."""

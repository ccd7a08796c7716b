"""The nodes of the cluster, and the capabilities that running runs want of them."""

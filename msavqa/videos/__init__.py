"""Video files: what each of them is, and the frames we agreed on; here alone anything decodes."""

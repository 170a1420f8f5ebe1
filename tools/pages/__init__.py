"""The pages that tools/make_docs.py prints, by what they are printed from."""

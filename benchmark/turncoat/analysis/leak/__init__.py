"""Leak labels: does a misaligned answer talk about the training domain, where its question does not?"""

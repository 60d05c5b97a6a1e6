"""Diagnoses of sounds whose causes are known."""

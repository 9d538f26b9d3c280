"""The only importer of ray: runner, learner, algorithm, callbacks."""

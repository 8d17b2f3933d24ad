"""The words after `hpo-run`: one module each, with `main(argv) -> exit code`."""

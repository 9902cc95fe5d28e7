"""Results of several runs, machines and people: compared, merged, bundled."""

"""The commands that a person runs: one folder per stage, and the workflow that chains the stages."""

if __name__ != "linesmith.pipelines":
    raise ImportError("this package has no name of its own: import linesmith.pipelines")

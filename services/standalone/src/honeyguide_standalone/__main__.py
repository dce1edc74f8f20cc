"""`python -m honeyguide_standalone`: the `honeyguide` command."""

from honeyguide_standalone.command import main

if __name__ == "__main__":
    main()

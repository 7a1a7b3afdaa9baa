"""`python -m slidescore`."""

from slidescore.cli.main import main

if __name__ == "__main__":
    main()

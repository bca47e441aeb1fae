"""The command line as a module: what torchrun starts (`torchrun -m simarena.cli train ...`)."""

from simarena.cli import main

if __name__ == "__main__":
    main()

"""The one kind of error that is the user's to mend."""


class InputError(ValueError):
    """Bad input. The message is one sentence: what was wrong, where, and what to do.

    The window shows it as a notification and the command line prints it and goes on with the next
    file; neither shows a traceback.
    """

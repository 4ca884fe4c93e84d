"""Address books as other programs write them: vCard 2.1, 3.0 and 4.0, the CSV of Google and of Outlook.

Imported when a book is read, and by no other command: the library for vCards takes 60 ms to load.
"""

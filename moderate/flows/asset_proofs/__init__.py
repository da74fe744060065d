"""New asset objects get an integrity proof.

::

    platform API --pages--> plan --> inbox --dispatch--> run --> platform API
                                       ^                  |
                                       +--waits for the owner's DID--+

``plan`` and ``sensor`` find objects without a proof, ``job`` has the proofs
made. The proof of an object whose owner has no DID waits for the item of the
owner's DID, which is another flow's: only its kind is named here.
"""
